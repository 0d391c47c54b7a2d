package main

import (
	"log/slog"
	"os"

	"vxlan-driver/internal/agent"
	"vxlan-driver/internal/kernel/bpfpath"
	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/wiring"
)

// useWireGuard lets the agent encrypt networks. Where the kernel has no WireGuard, this program is started a
// second time, for each device.
func useWireGuard(a *agent.Agent, programs *bpfpath.Programs, log *slog.Logger) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	launcher := wireguard.Launcher{Program: self, Systemd: wiring.HasSystemd(), Log: os.Stderr}
	a.WireGuard = &wireguard.Host{Start: launcher.Start, Log: log}
	if programs != nil {
		a.TakesIP = programs.TakesIP
	}
	return nil
}
