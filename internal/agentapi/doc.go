// Package agentapi is how the plugin and the operator's tool talk to the agent of
// the same host: one JSON object each way, a line each, on a Unix socket that only
// root can reach.
package agentapi
