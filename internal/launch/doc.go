// Package launch sees to it that the host's agent runs when the plugin needs it.
package launch
