// Package wggotest lets a test's own program be the process of wireguard-go.
package wggotest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/kernel/wireguard/wggo"
)

// RunIfAsked is called first by TestMain. Where the program was started as wireguard-go, it is that until it
// is told to end, and does not return.
func RunIfAsked() {
	if len(os.Args) != 3 || os.Args[1] != wireguard.Argument {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go endWithParent()
	if err := wggo.Run(ctx, os.Args[2], slog.New(slog.NewTextHandler(os.Stderr, nil)), func() {}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// endWithParent leaves nothing of a test that was killed.
func endWithParent() {
	for parent := os.Getppid(); os.Getppid() == parent; time.Sleep(100 * time.Millisecond) {
	}
	os.Exit(1)
}
