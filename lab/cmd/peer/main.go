package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	if err := runMode(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func runMode(args []string) error {
	switch {
	case len(args) > 2 && args[0] == "serve":
		return serveAll(args[1], args[2:])
	case len(args) > 1 && args[0] == "ask":
		flags := flag.NewFlagSet("ask", flag.ContinueOnError)
		seconds := flags.Float64("t", 5, "seconds to wait for an answer")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		askAll(flags.Args(), time.Duration(*seconds*float64(time.Second)))
		return nil
	}
	return errors.New("want: serve NAME PROTOCOL/PORT… or ask PROTOCOL/ADDRESS:PORT…")
}

// readyDir is where a server writes a file of its name once it listens, if the directory exists.
const readyDir = "/run/peer/"

// serveAll listens on all ports, reports that it is ready, and never returns.
func serveAll(name string, what []string) error {
	for _, w := range what {
		protocol, ports, _ := strings.Cut(w, "/")
		if protocol == "mcast" {
			if err := serveGroup(name, ports); err != nil {
				return err
			}
			continue
		}
		first, last, ranged := strings.Cut(ports, "-")
		if !ranged {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("parse %s: %w", w, err)
		}
		for port := from; port <= to; port++ {
			if err := listenOn(protocol, name, port); err != nil {
				return fmt.Errorf("listen on %s/%d: %w", protocol, port, err)
			}
		}
	}
	if info, err := os.Stat(readyDir); err == nil && info.IsDir() {
		if err := os.WriteFile(readyDir+name, nil, 0o644); err != nil {
			return err
		}
	}
	select {}
}

func listenOn(protocol, name string, port int) error {
	switch protocol {
	case "tcp":
		return serveTCP(name, port)
	case "udp":
		return serveUDP(name, port)
	case "sctp":
		return serveSCTP(name, port)
	}
	return errors.New("unknown protocol")
}

// answerText is a server's answer.
func answerText(name string, port int, client string) string {
	return fmt.Sprintf("%s:%d from %s", name, port, client)
}

// askAll sends all requests at once and prints the answers in their order.
func askAll(what []string, patience time.Duration) {
	answers := make([]string, len(what))
	var wait sync.WaitGroup
	for i, w := range what {
		wait.Go(func() {
			said, err := askOne(w, time.Now().Add(patience))
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				said = "none"
			}
			answers[i] = said
		})
	}
	wait.Wait()
	for i, w := range what {
		fmt.Println(w, answers[i])
	}
}

func askOne(what string, deadline time.Time) (string, error) {
	protocol, address, _ := strings.Cut(what, "/")
	if protocol == "sctp" {
		return askSCTP(address, deadline)
	}
	if protocol == "mcast" {
		return askGroup(address, deadline)
	}
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.Dial(protocol, address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("?")); err != nil {
		return "", err
	}
	return readText(conn)
}

func readText(conn net.Conn) (string, error) {
	buffer := make([]byte, 512)
	n, err := conn.Read(buffer)
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}
