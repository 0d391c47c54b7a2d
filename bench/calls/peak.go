package calls

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// settleTime is far longer than any call takes; then the process waits to write its answer.
const settleTime = 300 * time.Millisecond

// peakMemory returns the peak of a process's resident memory, in bytes, when it is about to write
// its answer. Its standard output is a full pipe, so it blocks there and can be inspected. The
// value of wait4(2) is no use, since it includes the memory of the process that forked.
func peakMemory(stdin string, argv ...string) (int64, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	defer w.Close()
	fillPipe(w)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout = strings.NewReader(stdin), w
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	time.Sleep(settleTime)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	w.Close()
	go func() { // lets it go on
		var said bytes.Buffer
		_, _ = said.ReadFrom(r)
	}()
	if waitErr := cmd.Wait(); waitErr != nil {
		return 0, fmt.Errorf("run %s: %w", strings.Join(argv, " "), waitErr)
	}
	if err != nil {
		return 0, err
	}
	return parsePeak(string(status))
}

func fillPipe(w *os.File) {
	// Go's pipes do not block the thread, so a deadline works, and says that the pipe is full.
	_ = w.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	for junk := make([]byte, 4096); ; {
		if _, err := w.Write(junk); err != nil {
			return
		}
	}
}

// parsePeak finds "VmHWM: 3304 kB" in /proc/PID/status.
func parsePeak(status string) (int64, error) {
	lines := bufio.NewScanner(strings.NewReader(status))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && fields[0] == "VmHWM:" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes * 1024, err
		}
	}
	return 0, fmt.Errorf("no peak of memory in status %q; had the process ended?", firstLine(status))
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
