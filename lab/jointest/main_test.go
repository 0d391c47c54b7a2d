package jointest

import (
	"os"
	"testing"

	"vxlan-driver/lab/labtest"
)

func TestMain(m *testing.M) { os.Exit(labtest.RunAtOnce(m, 3)) }
