package main

// failover answers to the name of the documented appliance command.
func failover() error {
	return &failure{
		exitUsage, "failover: nothing was done", "the node engine is not part of this build yet",
		"Use the appliance's own failover command on the node; for traffic see: understudy --help", readCLI,
	}
}
