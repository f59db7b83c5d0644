package config

// readAgents reads whom the portal lets say which node it reaches: agents.
func (n *NodeFile) readAgents(v value) {
	keys{"token_file": file(&n.AgentTokens)}.read(v)
}

func (n *NodeFile) checkAgents() (f Faults) {
	if n.AgentTokens != "" && n.Portal.Listen == "" {
		f.Add("agents/token_file", "agents call the portal's listener, which is missing: portal: {listen: …}")
	}
	return f
}
