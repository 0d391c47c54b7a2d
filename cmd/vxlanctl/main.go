// Command vxlanctl is the operator's tool.
package main

import (
	"fmt"
	"os"

	"vxlan-driver/internal/ctl"
	"vxlan-driver/internal/host"
)

// version is set when a release is built.
var version = "0.1.0-dev"

func main() {
	if err := ctl.Command(host.Driver(), version, os.Stdout).Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "vxlanctl:", err)
		os.Exit(1)
	}
}
