// Package agenttest tests the agent on hosts that run the real Podman.
package agenttest
