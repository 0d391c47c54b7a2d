package drivertest

import (
	"os"
	"testing"

	"vxlan-driver/lab/labtest"
)

// Three tests at once use half of two processors.
func TestMain(m *testing.M) { os.Exit(labtest.RunAtOnce(m, 3)) }
