// Command vxlanctl is the operator's tool.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl"
	"vxlan-driver/internal/version"
	"vxlan-driver/internal/wiring"
)

func main() {
	err := newCommand().Execute()
	switch {
	case err == nil || ctl.IsPrinted(err):
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		fmt.Fprintf(os.Stderr, "vxlanctl: %v; type it as root\n", err)
	default:
		fmt.Fprintln(os.Stderr, "vxlanctl:", err)
	}
	os.Exit(ctl.ExitCode(err))
}

// newCommand is the tool on this host.
func newCommand() *cobra.Command {
	return ctl.Command(localHost{wiring.Plugin(), wiring.Agent()}, version.String(), os.Stdout)
}
