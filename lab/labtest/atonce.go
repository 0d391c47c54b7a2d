package labtest

import (
	"flag"
	"runtime"
	"strconv"
	"testing"
)

// RunAtOnce is the TestMain of a package whose tests wait most of the time: for the kernel, for a process, for time to
// pass. So many of those that call Parallel run at once, also on two processors. Each of them has a lab of its own. A
// test that measures what is quick does not call Parallel, and has the machine to itself. It returns the exit code.
func RunAtOnce(m *testing.M, count int) int {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(max(count, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err)
	}
	return m.Run()
}
