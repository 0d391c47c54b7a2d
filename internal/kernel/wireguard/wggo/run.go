package wggo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"vxlan-driver/internal/kernel/wireguard"
)

// Run is the process of a device. It makes the device if there is none, is told keys and peers by the socket
// of wireguard.SocketPath, and calls ready as soon as it can be. It returns when ctx is done, or the device
// or the socket is gone. The device stays: packets are dropped until the next process.
//
// SIGHUP makes it execute its program anew, which takes over device, socket, keys and peers.
func Run(ctx context.Context, name string, log *slog.Logger, ready func()) error {
	debug.SetMemoryLimit(memoryLimit)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGHUP) // before the socket is there: who sends it has connected
	p, err := start(ctx, name, log)
	if err != nil {
		return fmt.Errorf("run wireguard-go for %s: %w", name, err)
	}
	defer p.device.Close()
	ready()
	check := time.NewTicker(time.Second)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return os.Remove(wireguard.SocketPath(name))
		case <-p.device.Wait():
			return os.Remove(wireguard.SocketPath(name)) // the device was deleted
		case <-signals:
			log.Error("cannot start anew in place", "err", p.execAnew())
		case <-check.C:
			if !p.isReachable() {
				return errors.New("its socket was removed, so nobody could tell it keys")
			}
		}
	}
}

// memoryLimit is when the runtime collects garbage more often. Each packet on its way has a buffer of 64 KB, and
// without a limit a process that sent as fast as it could had 500 MB after half a minute. With 128 MB it was as
// fast, with 64 MB it had two thirds of the speed. A thousand peers take 37 MB besides.
const memoryLimit = 160 << 20

// running is the process's device with the files by which others reach it.
type running struct {
	name     string
	device   *device.Device
	tun      *os.File
	listener *net.UnixListener
	socket   os.FileInfo
}

func start(ctx context.Context, name string, log *slog.Logger) (p *running, err error) {
	state, err := takeState()
	if err != nil {
		return nil, err
	}
	p = &running{name: name, tun: state.tun}
	if p.tun == nil {
		if p.tun, err = openTun(ctx, name); err != nil {
			return nil, err
		}
	}
	if err := dropRights(); err != nil {
		log.Warn("cannot give up rights that are not needed", "err", err)
	}
	mtu, err := linkMTU(name)
	if err != nil {
		return nil, err
	}
	t, err := tun.CreateTUNFromFile(p.tun, mtu)
	if err != nil {
		return nil, fmt.Errorf("use the tun: %w", err)
	}
	p.device = device.NewDevice(summedTun{t}, newOrderedBind(conn.NewDefaultBind()), newLogger(log.With("device", name)))
	if err := p.restore(state); err != nil {
		p.device.Close()
		return nil, err
	}
	if err := p.listen(state.listener); err != nil {
		p.device.Close()
		return nil, err
	}
	return p, nil
}

// listen makes the socket, or takes up the one from before the program was executed anew. What a process
// that was killed has left is replaced: this one has the device, so there is no other.
func (p *running) listen(inherited *net.UnixListener) error {
	path := wireguard.SocketPath(p.name)
	p.listener = inherited
	if inherited == nil {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		mask := unix.Umask(0o177) // mode 0600 from the start
		l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
		unix.Umask(mask)
		if err != nil {
			return err
		}
		p.listener = l
	}
	p.listener.SetUnlinkOnClose(false)
	var err error
	if p.socket, err = os.Lstat(path); err != nil {
		return err
	}
	go func() {
		for {
			c, err := p.listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(acceptRetry)
				continue
			}
			go p.device.IpcHandle(c)
		}
	}()
	return nil
}

// acceptRetry is after how long connections are taken in again when that failed, such as for want of
// descriptors.
const acceptRetry = 100 * time.Millisecond

// isReachable tells whether the socket has still its name.
func (p *running) isReachable() bool {
	named, err := os.Lstat(wireguard.SocketPath(p.name))
	return err == nil && os.SameFile(named, p.socket)
}
