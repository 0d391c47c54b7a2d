package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl"
	"vxlan-driver/internal/kernel/echo"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/packettrace"
)

// Namespace reads it from the store.
func (h localHost) Namespace(networkID, containerID string) (string, error) {
	r, err := h.Record(networkID, containerID)
	return r.Namespace, err
}

// OpenEcho opens a socket in the namespace where the path begins.
func (localHost) OpenEcho(p ctl.Path) (ctl.Echoer, error) {
	return echo.Open(p.Namespace, p.Src, p.Dst)
}

// SendProbe pings, or connects to a TCP port. A refusal is an answer.
func (h localHost) SendProbe(p ctl.Path, port uint16, timeout time.Duration) (time.Duration, error) {
	if port > 0 {
		return connect(p, port, timeout)
	}
	e, err := h.OpenEcho(p)
	if err != nil {
		return 0, err
	}
	defer e.Close()
	return e.Echo(echo.DefaultSize, timeout)
}

func connect(p ctl.Path, port uint16, timeout time.Duration) (time.Duration, error) {
	began := time.Now()
	err := netns.Do(p.Namespace, func() error {
		d := net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{IP: p.Src.AsSlice()}}
		conn, err := d.Dial("tcp", netip.AddrPortFrom(p.Dst, port).String())
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil && !errors.Is(err, unix.ECONNREFUSED) {
		return 0, err
	}
	return max(time.Since(began), 1), nil
}

// traceTime is how long both hosts trace: long enough until the other one has begun, and for all
// probes.
const traceTime = 3 * time.Second

// TracePath traces on this host and, through its agent, on the other one.
func (h localHost) TracePath(ctx context.Context, p ctl.Path,
	send func()) (here, there []agentapi.TraceEvent, err error) {
	ctx, cancel := context.WithTimeout(ctx, traceTime)
	defer cancel()
	request := agentapi.TraceRequest{Network: p.Network, VNI: p.VNI, Port: p.Port, Src: p.Src, Dst: p.Dst, For: traceTime}
	asked := make(chan error, 1)
	if p.SameHost || p.ToHost == "" {
		asked <- nil
	} else {
		go func() {
			r, err := agentapi.AskHost(agentapi.SocketPath, p.VTEP.String(),
				agentapi.Request{Verb: agentapi.VerbTrace, Trace: &request})
			there = r.Trace
			asked <- err
		}()
	}
	here, err = h.traceHere(ctx, p, send)
	if askErr := <-asked; askErr != nil && err == nil {
		err = ctl.OtherHostError{Err: askErr}
	}
	return here, there, err
}

// traceHere traces on this host, while packets are sent.
func (h localHost) traceHere(ctx context.Context, p ctl.Path, send func()) (events []agentapi.TraceEvent, err error) {
	flow := packettrace.Flow{Src: p.Src, Dst: p.Dst, Port: p.Port, VNI: p.VNI}
	if flow.Devices, err = h.portOf(p); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sent := make(chan struct{})
	ready := func() {
		go func() {
			defer close(sent)
			send()
			cancel()
		}()
	}
	err = packettrace.Watch(ctx, flow.Matches(), ready, func(e packettrace.Event) {
		events = append(events, e.Report())
	})
	if err == nil {
		<-sent
	}
	return events, err
}

// portOf returns the link by which the path's packets come in.
func (h localHost) portOf(p ctl.Path) ([]string, error) {
	networks, err := h.networks(p.Network)
	if err != nil {
		return nil, err
	}
	for _, r := range networks[0].Endpoints {
		for _, a := range r.Addrs {
			if a.Addr() == p.Src {
				return []string{networks[0].Port(r.Endpoint)}, nil
			}
		}
	}
	return nil, fmt.Errorf("container %s is gone", p.From)
}
