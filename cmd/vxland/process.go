package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agent"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/config"
)

// process is the running agent with the files by which others find it.
type process struct {
	options  options
	config   config.Config
	path     string      // of the program
	program  os.FileInfo // as it was started
	lock     *os.File
	socket   os.FileInfo // what has the socket's path
	listener *os.File    // a copy of the socket, which outlives the listener
}

// newProcess describes this process, which holds the lock and listens on l.
func newProcess(o options, c config.Config, lock *os.File, l net.Listener) (*process, error) {
	p := &process{options: o, config: c, lock: lock}
	var err, pathErr, programErr, socketErr error
	p.path, pathErr = os.Executable()
	p.program, programErr = os.Stat("/proc/self/exe")
	p.socket, socketErr = os.Stat(agentapi.SocketPath)
	if u, ok := l.(*net.UnixListener); ok {
		p.listener, err = u.File()
	}
	return p, errors.Join(err, pathErr, programErr, socketErr)
}

// Lost implements agent.Process.
func (p *process) Lost() bool {
	socket, err := os.Stat(agentapi.SocketPath)
	return err != nil || !os.SameFile(socket, p.socket) || !isAtPath(p.lock)
}

// isAtPath tells whether an open file is still the one that has its name.
func isAtPath(f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(open, named)
}

// ProgramReplaced implements agent.Process. A program that was removed is not replaced.
func (p *process) ProgramReplaced() bool {
	installed, err := os.Stat(p.path)
	return err == nil && !os.SameFile(installed, p.program)
}

// ConfigChange implements agent.Process.
func (p *process) ConfigChange() string {
	c, err := config.FilesAt(p.options.config).LoadSettings()
	switch {
	case err != nil:
		return fmt.Sprintf("its configuration is invalid now, so it goes on with the one from before: %v; correct it", err)
	case p.config.KeyFile != "" && c.KeyFile == "":
		return "its configuration was changed after it had started, and " + agentapi.NamesNoKey
	case !reflect.DeepEqual(c, p.config):
		return "its configuration was changed after it had started"
	}
	return ""
}

// checkTimeout is far more than --check-config takes.
const checkTimeout = 5 * time.Second

// CheckRestart implements agent.Process. The installed program itself checks the configuration: it
// may be another version, or not be a program.
func (p *process) CheckRestart() error {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, p.path, append(p.options.agentArgs(), "--check-config")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s --check-config: %w: %s", p.path, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// shouldRestart tells whether the program takes its own place, as its agent has ended with err. If
// a signal told it to end meanwhile, it does not: nobody sends that again.
func shouldRestart(ctx context.Context, err error) bool {
	return ctx.Err() == nil && (errors.Is(err, agent.ErrRestart) || errors.Is(err, agent.ErrFilesLost))
}

// end ends the process of an agent that has ended with err, or lets the installed program take its
// place. systemd keeps the socket of an agent that it has activated.
func (p *process) end(ctx context.Context, err error, activated bool, log *slog.Logger) error {
	if shouldRestart(ctx, err) {
		log.Info("restarting", "why", err)
		return p.startAnew(errors.Is(err, agent.ErrRestart), !activated)
	}
	if ctx.Err() != nil {
		err = nil // a signal ended it
	}
	notifySystemd("STOPPING=1")
	return errors.Join(err, p.removeSocket(activated))
}

// Variables by which an agent that starts anew passes on its descriptors.
const (
	lockVar      = "VXLAND_LOCK_FD"
	socketVar    = "VXLAND_SOCKET_FD"
	ownSocketVar = "VXLAND_OWN_SOCKET" // systemd does not have the socket too
)

// startAnew makes the installed program take this process's place. If it takes over lock and
// socket, no other agent can start meanwhile, and who calls is answered by the new one.
func (p *process) startAnew(takeOver, ownSocket bool) error {
	env := os.Environ()
	if takeOver {
		env = append(env, passFileOn(lockVar, p.lock), passFileOn(socketVar, p.listener))
		if ownSocket {
			env = append(env, ownSocketVar+"=1")
		}
	}
	err := syscall.Exec(p.path, append([]string{p.path}, os.Args[1:]...), env)
	return &os.PathError{Op: "restart", Path: p.path, Err: err}
}

// passFileOn lets the next program have a file, and returns the variable that says where.
func passFileOn(name string, f *os.File) string {
	_, _ = unix.FcntlInt(f.Fd(), unix.F_SETFD, 0)
	return fmt.Sprintf("%s=%d", name, f.Fd())
}
