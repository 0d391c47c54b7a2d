package labtest

import (
	"flag"
	"runtime"
	"strconv"
	"testing"
)

// RunAtOnce is the TestMain of a package whose tests wait most of the time: for the kernel, for a process, for time to
// pass. So many of those that call Parallel run at once, also on two processors, unless go test is told -parallel. Each
// has a lab of its own. A test that measures short times does not call Parallel, and has the machine to itself.
// RunAtOnce returns the exit code.
func RunAtOnce(m *testing.M, count int) int {
	flag.Parse()
	const parallel = "test.parallel"
	isTold := false
	flag.Visit(func(f *flag.Flag) { isTold = isTold || f.Name == parallel })
	if !isTold {
		if err := flag.Set(parallel, strconv.Itoa(max(count, runtime.GOMAXPROCS(0)))); err != nil {
			panic(err)
		}
	}
	return m.Run()
}
