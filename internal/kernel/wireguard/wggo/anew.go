package wggo

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/device"
)

// Variables by which a program that is executed anew gets its predecessor's descriptors.
const (
	tunVar      = "VXLAND_WIREGUARD_TUN_FD"
	listenerVar = "VXLAND_WIREGUARD_SOCKET_FD"
	configVar   = "VXLAND_WIREGUARD_CONFIG_FD"
)

// inheritedState is what a process has from before its program was executed anew. All is nil if it was not.
type inheritedState struct {
	tun      *os.File
	listener *net.UnixListener
	config   string
}

// execAnew executes the program anew, which returns only with an error. The device stays open meanwhile, so
// what the host sends waits in its queue. Keys are passed on in memory that has no name.
func (p *running) execAnew() error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	path = strings.TrimSuffix(path, " (deleted)")
	config, err := p.device.IpcGet()
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("wireguard", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	memory := os.NewFile(uintptr(fd), "config")
	defer memory.Close()
	if _, err := memory.WriteString(config); err != nil {
		return err
	}
	listener, err := p.listener.File()
	if err != nil {
		return err
	}
	defer listener.Close()
	env := os.Environ()
	for variable, f := range map[string]*os.File{tunVar: p.tun, listenerVar: listener, configVar: memory} {
		fd, err := duplicate(f)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		env = append(env, fmt.Sprintf("%s=%d", variable, fd))
	}
	return &os.PathError{Op: "execute", Path: path, Err: unix.Exec(path, os.Args, env)}
}

// duplicate returns a descriptor that the next program gets too. It is not File.Fd's, which would make reads
// of the tun block.
func duplicate(f *os.File) (fd int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	controlErr := raw.Control(func(old uintptr) { fd, err = unix.Dup(int(old)) })
	return fd, errors.Join(err, controlErr)
}

// takeState returns what execAnew has passed on.
func takeState() (s inheritedState, err error) {
	if s.tun = inheritedFile(tunVar); s.tun == nil {
		return s, nil
	}
	config, socket := inheritedFile(configVar), inheritedFile(listenerVar)
	if config == nil || socket == nil {
		return s, errors.New("the program before this one passed on no keys or no socket")
	}
	defer config.Close()
	defer socket.Close()
	l, err := net.FileListener(socket)
	if err != nil {
		return s, err
	}
	s.listener = l.(*net.UnixListener)
	data, err := io.ReadAll(io.NewSectionReader(config, 0, maxConfig))
	s.config = string(data)
	return s, err
}

// maxConfig is more than 65,536 peers with a thousand addresses each take.
const maxConfig = 4 << 30

func inheritedFile(variable string) *os.File {
	fd, err := strconv.Atoi(os.Getenv(variable))
	_ = os.Unsetenv(variable)
	if err != nil || unix.SetNonblock(fd, true) != nil {
		return nil
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), variable)
}

// restore sets keys and peers as they were. Sessions are not passed on, since wireguard-go has no way to
// say what they are. So peers that had one shake hands at once; others would do so only when they have
// waited for an answer for 15 seconds.
func (p *running) restore(s inheritedState) error {
	if s.config == "" {
		return nil
	}
	settings, sessions := settable(s.config, time.Now())
	if err := p.device.IpcSet(settings); err != nil {
		return err
	}
	// The device would come up by itself, but peers shake hands only when it is.
	if err := p.device.Up(); err != nil {
		return err
	}
	for _, key := range sessions {
		var public device.NoisePublicKey
		if err := public.FromHex(key); err != nil {
			return err
		}
		if peer := p.device.LookupPeer(public); peer != nil {
			_ = peer.SendHandshakeInitiation(false) // of a peer that cannot be reached: it is tried again
		}
	}
	return nil
}

// settable returns what of a configuration, as it is read, can be set; and the peers that had a session.
func settable(config string, now time.Time) (settings string, sessions []string) {
	var b strings.Builder
	peer := ""
	for line := range strings.Lines(config) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "public_key":
			peer = value
		case "last_handshake_time_sec":
			at, err := strconv.ParseInt(value, 10, 64)
			if err == nil && now.Sub(time.Unix(at, 0)) < device.RejectAfterTime {
				sessions = append(sessions, peer)
			}
		}
		switch key {
		case "", "errno", "last_handshake_time_sec", "last_handshake_time_nsec", "tx_bytes", "rx_bytes":
		default:
			b.WriteString(line)
		}
	}
	return b.String(), sessions
}
