// Package driver carries out what Podman asks of the plugin on this host:
// create, setup and teardown of a network.
//
// It is the pipe that docs/design/architecture.md draws: parse, plan, reconcile, answer. It
// holds no rules of its own but the order of the steps and what to undo.
package driver
