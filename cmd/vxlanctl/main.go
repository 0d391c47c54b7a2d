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
	if err := ctl.Command(localHost{wiring.Plugin(), wiring.Agent()}, version.String(), os.Stdout).Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "vxlanctl:", err)
		os.Exit(1)
	}
}
