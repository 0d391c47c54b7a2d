package faulttest

import (
	"os"
	"testing"

	"vxlan-driver/lab/labtest"
)

// Each test's hosts run at once, also on two processors: half of the time they wait for the kernel.
func TestMain(m *testing.M) { os.Exit(labtest.RunAtOnce(m, 4)) }
