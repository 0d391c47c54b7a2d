// Package suite has the measurements themselves, a section each: start, traffic, scale, plugin,
// agent.
package suite
