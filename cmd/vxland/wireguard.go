package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/kernel/wireguard/wggo"
)

// wireGuardDevice returns the device whose process this is to be. Only the agent starts such processes, so the
// help has no word of it.
func wireGuardDevice(args []string) (device string, ok bool) {
	if len(args) != 3 || args[1] != wireguard.Argument {
		return "", false
	}
	return args[2], true
}

// runWireGuard is the process of a WireGuard device, until a signal ends it or the device is gone.
func runWireGuard(device string) int {
	signal.Ignore(syscall.SIGPIPE) // who reads the log may end earlier
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	// A name of its own tells it from the agent, in ps and for pkill -x.
	_ = os.WriteFile("/proc/self/comm", []byte("wireguard-vxlan"), 0)
	raiseFileLimit()
	err := wggo.Run(ctx, device, newLog(slog.LevelInfo), func() { notifySystemd("READY=1") })
	if err != nil {
		fmt.Fprintln(stderr, "vxland:", err)
		return 1
	}
	return 0
}
