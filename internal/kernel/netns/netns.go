package netns

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// currentThreadNamespace is the namespace of the thread that opens it. It may differ from that of
// the process: /proc/self would be the main thread's (proc(5)).
const currentThreadNamespace = "/proc/thread-self/ns/net"

// Do runs fn in the network namespace at path and returns fn's error. Sockets that fn opens stay in
// that namespace after Do returns.
//
// fn runs in a goroutine of its own, on a thread that no other goroutine uses meanwhile. Goroutines
// that fn starts do not run in the namespace. A panic in fn goes on in the caller, and so does
// runtime.Goexit (t.Fatal). Errors of the path itself are those of Open.
func Do(path string, fn func() error) error {
	ns, err := Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()

	var c functionCall
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(ns, fn)
	}()
	<-done
	return c.endCaller()
}

// DoIn is Do, except that for "" fn runs in the namespace that the caller is in.
func DoIn(path string, fn func() error) error {
	if path == "" {
		return fn()
	}
	return Do(path, fn)
}

// functionCall is one call of a function, and how it ended.
type functionCall struct {
	err      error
	returned bool
	panicked *goroutinePanic // nil when not returned: Goexit
}

// run switches the thread, calls fn and switches back, however fn ends.
func (c *functionCall) run(ns *os.File, fn func() error) {
	runtime.LockOSThread()
	back, err := Open(currentThreadNamespace)
	if err == nil {
		defer back.Close()
		err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
	}
	if err != nil {
		runtime.UnlockOSThread() // it is where it was
		c.err, c.returned = fmt.Errorf("enter network namespace: %w", err), true
		return
	}
	defer switchBack(back)
	defer func() {
		if v := recover(); v != nil {
			c.panicked = &goroutinePanic{v, debug.Stack()}
		}
	}()
	c.err = fn()
	c.returned = true
}

// switchBack switches the thread back. If that fails, the thread stays locked. The runtime then
// ends it along with the goroutine (runtime.LockOSThread), and never runs another goroutine in a
// foreign namespace.
func switchBack(back *os.File) {
	if unix.Setns(int(back.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
}

// endCaller ends the caller in the way that the function ended.
func (c *functionCall) endCaller() error {
	switch {
	case c.returned:
		return c.err
	case c.panicked != nil:
		panic(c.panicked)
	}
	runtime.Goexit()
	return nil
}

// goroutinePanic is a panic of another goroutine with its stack, which would be lost if only the
// value went on.
type goroutinePanic struct {
	value any
	stack []byte
}

// Error prints the value with the stack.
func (p *goroutinePanic) Error() string { return fmt.Sprintf("%v\n\n%s", p.value, p.stack) }

// Unwrap returns the value if it is an error.
func (p *goroutinePanic) Unwrap() error {
	err, _ := p.value.(error)
	return err
}
