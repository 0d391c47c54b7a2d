// Package agentapi is how the plugin and the tool talk to this host's agent, and start it.
//
// A request and its response are one JSON object each, on a line each, on a Unix socket that only
// root can open.
package agentapi
