package labtest

import (
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/terminal"
)

// OnTerminal starts a program of a host on a terminal of its own.
func OnTerminal(t testing.TB, h *lab.Host, argv ...string) *terminal.Terminal {
	t.Helper()
	term := terminal.Open(t)
	term.Start(h.Interactive(t.Context(), argv...))
	return term
}
