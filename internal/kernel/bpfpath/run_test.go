package bpfpath

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/kernel/wireguard/wggo"
)

// TestMain makes the test's own program wireguard-go's process, where it is started as that.
func TestMain(m *testing.M) {
	if len(os.Args) != 3 || os.Args[1] != wireguard.Argument {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go endWithParent()
	err := wggo.Run(ctx, os.Args[2], slog.New(slog.NewTextHandler(os.Stderr, nil)), func() {})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// endWithParent leaves nothing of a test that was killed.
func endWithParent() {
	for parent := os.Getppid(); os.Getppid() == parent; time.Sleep(100 * time.Millisecond) {
	}
	os.Exit(1)
}
