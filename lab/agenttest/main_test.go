package agenttest

import (
	"os"
	"testing"

	"vxlan-driver/lab/labtest"
)

// Three tests at once used two fifths of two processors; one after the other, a fifth.
func TestMain(m *testing.M) { os.Exit(labtest.RunAtOnce(m, 4)) }
