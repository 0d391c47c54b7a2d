// Command vxlanctl is the operator's tool.
package main

import (
	"fmt"
	"os"

	"vxlan-driver/internal/ctl"
	"vxlan-driver/internal/version"
	"vxlan-driver/internal/wiring"
)

func main() {
	err := ctl.Command(localHost{wiring.Plugin(), wiring.Agent()}, version.String(), os.Stdout).Execute()
	if err != nil && !ctl.IsPrinted(err) {
		fmt.Fprintln(os.Stderr, "vxlanctl:", err)
	}
	os.Exit(ctl.ExitCode(err))
}
