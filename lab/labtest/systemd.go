package labtest

import (
	_ "embed" // for the script
	"testing"

	"vxlan-driver/lab"
)

//go:embed systemd.sh
var systemdScript string

// StartSystemd starts systemd on a host, beside the host's init.
func StartSystemd(t testing.TB, h *lab.Host) {
	t.Helper()
	Sh(t, h, systemdScript)
}

// TryBySystemd runs a script where systemd answers, in its PID namespace, and returns all that it
// prints.
func TryBySystemd(t testing.TB, h *lab.Host, script string) (string, error) {
	t.Helper()
	return h.Run(t.Context(), "sh", "-c", `exec nsenter -t "$(pgrep -ox systemd)" -p -m -- sh -euc "$1"`, "sh",
		"exec 2>&1; "+script)
}
