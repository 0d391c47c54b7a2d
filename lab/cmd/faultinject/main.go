// Command faultinject runs a program and kills it at, or fails, the nth of its system calls that
// change something.
//
//	faultinject -at 7 -kill PROGRAM ARGUMENTS…     SIGKILL at the seventh call, which is not made
//	faultinject -at 7 -fail PROGRAM ARGUMENTS…     the seventh call returns an error and does nothing
//	faultinject -at 7 -fail -all …                 so do all calls after it, as when what failed is undone
//	faultinject -at 7 -fail -then 2 …              SIGKILL at the second call after it
//
// Calls of all threads are counted as one sequence, which is what strace -e inject=…:when=7 does
// not do. The last line on standard error says which call had the fault, or how many calls there
// were: "injected 7 sendto", "counted 6".
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

func main() {
	at := flag.Int("at", 0, "number of the call")
	kill := flag.Bool("kill", false, "kill the program at it")
	fail := flag.Bool("fail", false, "let it fail")
	all := flag.Bool("all", false, "let all calls after it fail too")
	then := flag.Int("then", 0, "number of the call after it at which to kill the program")
	flag.Parse()
	if flag.NArg() == 0 || *kill == *fail {
		fmt.Fprintln(os.Stderr, "usage: faultinject -at N -kill|-fail PROGRAM ARGUMENTS…")
		os.Exit(2)
	}
	calls := mutatingCalls
	if *fail && !*all && *then == 0 {
		calls = fallibleCalls
	}
	// All ptrace requests must come from the thread that started the program.
	runtime.LockOSThread()
	cmd := exec.Command(flag.Arg(0), flag.Args()[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	t := &tracer{calls: calls, at: *at, kill: *kill, all: *all, then: *then}
	status, err := t.runTraced(cmd)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faultinject:", err)
		os.Exit(2)
	}
	if t.injected != "" {
		fmt.Fprintf(os.Stderr, "injected %d %s\n", *at, t.injected)
	} else {
		fmt.Fprintf(os.Stderr, "counted %d\n", t.count)
	}
	os.Exit(status)
}
