package lifetest

import (
	"os"
	"testing"

	"vxlan-driver/lab/labtest"
)

// Three tests at once used a third of two processors.
func TestMain(m *testing.M) { os.Exit(labtest.RunAtOnce(m, 4)) }
