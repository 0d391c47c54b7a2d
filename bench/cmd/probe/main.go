// Command probe is the part of the benchmarks that runs inside lab hosts.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"vxlan-driver/bench/calls"
	"vxlan-driver/bench/traffic"
)

const usage = `Usage: probe calls               carry out orders from standard input (package calls)
       probe serve ADDR:PORT     answer to traffic
       probe send [FLAGS] ADDR:PORT
       probe resolve [-for DURATION] SERVER NAME   ask until the name is known, print when that was
`

func main() {
	if err := runMode(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func runMode(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "calls":
		return calls.Serve(os.Stdin, os.Stdout)
	case len(args) == 2 && args[0] == "serve":
		return traffic.Serve(args[1])
	case len(args) > 1 && args[0] == "send":
		return sendLoad(args[1:])
	case len(args) > 1 && args[0] == "resolve":
		return resolveName(args[1:])
	}
	return fmt.Errorf("unknown arguments\n%s", usage)
}

func sendLoad(args []string) error {
	flags := flag.NewFlagSet("send", flag.ContinueOnError)
	kind := flags.String("kind", string(traffic.Stream), "stream, udp, echo or connect")
	streams := flags.Int("streams", 1, "number of TCP streams")
	period := flags.Duration("for", time.Second, "how long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	result, err := traffic.Send(flags.Arg(0), traffic.Load{Kind: traffic.Kind(*kind), Streams: *streams, Period: *period})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func resolveName(args []string) error {
	flags := flag.NewFlagSet("resolve", flag.ContinueOnError)
	patience := flags.Duration("for", 10*time.Second, "how long to ask")
	if err := flags.Parse(args); err != nil {
		return err
	}
	at, err := traffic.Resolve(flags.Arg(0), flags.Arg(1), *patience)
	if err != nil {
		return err
	}
	_, err = fmt.Println(at.UnixNano())
	return err
}
