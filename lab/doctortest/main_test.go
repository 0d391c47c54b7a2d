package doctortest

import (
	"os"
	"testing"

	"vxlan-driver/lab/labtest"
)

// Three tests at once use a fifth of two processors.
func TestMain(m *testing.M) { os.Exit(labtest.RunAtOnce(m, 3)) }
