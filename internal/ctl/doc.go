// Package ctl has the operator's subcommands.
package ctl
