// Package ctl has the subcommands of the operator's tool.
package ctl
