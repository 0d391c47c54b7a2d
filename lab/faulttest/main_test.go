package faulttest

import (
	"flag"
	"os"
	"testing"
)

// Each test's hosts run at once, also on two processors: half of the time they wait for the kernel.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
