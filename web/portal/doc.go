// Package portal is the System Manager portal of a node, with the words of the
// guide: Maintenance › HA Configuration with Save and Apply, trusted hosts,
// syncs, Failover, Settings › Services, Troubleshooting › Logs.
//
// A [Portal] asks the node's own API in the name of the person, so that there is
// nothing it can do that the API cannot; what the engine refuses is shown as it
// says it. What a person has saved and not yet applied is kept in a [draft].
package portal
