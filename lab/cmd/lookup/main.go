// Command lookup resolves a name again and again, and prints the longest time without an answer. It
// runs in a container's network namespace on a lab host.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	server := flag.String("server", "10.0.0.1", "address of the name server")
	length := flag.Duration("for", 5*time.Second, "how long to ask")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: lookup [-server ADDRESS] [-for DURATION] NAME")
		os.Exit(2)
	}
	answered, failed, longest := measureLookups(*server, flag.Arg(0), *length)
	fmt.Printf("answered %d failed %d longest %d ms\n", answered, failed, longest.Milliseconds())
}

const (
	// interval is how exact the result is.
	interval = 10 * time.Millisecond
	// timeout is far longer than an answer from this host takes, and so short that a lost one is
	// not all of a gap.
	timeout = 100 * time.Millisecond
)

// measureLookups returns how many questions were answered and how many not, and the longest time
// between two answers.
func measureLookups(server, name string, length time.Duration) (answered, failed int, longest time.Duration) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, net.JoinHostPort(server, "53"))
	}}
	last := time.Now()
	for end := last.Add(length); time.Now().Before(end); time.Sleep(interval) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		_, err := r.LookupNetIP(ctx, "ip4", name+".")
		cancel()
		if err != nil {
			failed++
			continue
		}
		answered++
		longest = max(longest, time.Since(last))
		last = time.Now()
	}
	return answered, failed, max(longest, time.Since(last))
}
