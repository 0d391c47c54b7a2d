package wggo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/rtnl"
	"vxlan-driver/internal/kernel/wireguard"
)

// busyTime is for how long another process may still have the device: one whose socket is gone ends within
// a second.
const busyTime = 3 * time.Second

// openTun opens the device, and makes it if there is none. It stays when no process has it open, with its
// number, so that entries of the VXLAN device's FDB and eBPF programs which refer to it stay valid.
func openTun(ctx context.Context, name string) (*os.File, error) {
	if err := checkOwner(name); err != nil {
		return nil, err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w; this kernel has neither WireGuard nor the module tun, "+
			"or may not use them: `modprobe wireguard` and `modprobe tun` say why", err)
	}
	if err := attachTun(ctx, fd, name); err != nil {
		unix.Close(fd)
		return nil, err
	}
	// Only a file that does not block can be closed while somebody reads it.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// checkOwner refuses a device that is not the driver's.
func checkOwner(name string) error {
	c, err := rtnl.Open("")
	if err != nil {
		return err
	}
	defer c.Close()
	l, err := c.Link(name, 0)
	switch {
	case errors.Is(err, kernel.ErrNotFound):
		return nil
	case err != nil:
		return err
	case l.Kind != kernel.KindTun || !strings.HasPrefix(l.Alias, wireguard.OurAlias):
		return fmt.Errorf("another program's device has this name (kind %q, alias %q); remove it or rename it",
			l.Kind, l.Alias)
	}
	return nil
}

// attachTun makes fd the device's other end, marks the device, and lets it stay. One that was made and not
// marked goes with this process.
func attachTun(ctx context.Context, fd int, name string) error {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("name %q: %w", name, err)
	}
	for until := time.Now().Add(busyTime); ; {
		// As wireguard-go's own tun is: with the headers by which one read or write has many segments.
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(until) || ctx.Err() != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("open the tun: %w: another process has it; end that", err)
	}
	if err != nil {
		return fmt.Errorf("open the tun: %w", err)
	}
	if err := markTun(name); err != nil {
		return err
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("make the tun stay: %w", err)
	}
	return nil
}

// markTun gives a device an alias if it has none.
func markTun(name string) error {
	c, err := rtnl.Open("")
	if err != nil {
		return err
	}
	defer c.Close()
	l, err := c.Link(name, 0)
	if err != nil || l.Alias != "" {
		return err
	}
	return c.Apply(kernel.SetAlias{Name: name, Alias: wireguard.ProcessAlias})
}

func linkMTU(name string) (int, error) {
	c, err := rtnl.Open("")
	if err != nil {
		return 0, err
	}
	defer c.Close()
	l, err := c.Link(name, 0)
	return l.MTU, err
}
