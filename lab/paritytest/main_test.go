package paritytest

import (
	"os"
	"testing"

	"vxlan-driver/lab/labtest"
)

// Four tests at once use two fifths of two processors.
func TestMain(m *testing.M) { os.Exit(labtest.RunAtOnce(m, 4)) }
