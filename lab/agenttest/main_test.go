package agenttest

import (
	"os"
	"testing"

	"vxlan-driver/lab/labtest"
)

// Three tests at once use two fifths of two processors; one after the other, they used a fifth.
func TestMain(m *testing.M) { os.Exit(labtest.RunAtOnce(m, 3)) }
