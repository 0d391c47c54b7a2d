package ctl

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// browser is a headless Chromium, which is spoken to by its DevTools protocol on two pipes.
type browser struct {
	t       *testing.T
	in      io.Writer
	session string // of the one tab

	mu      sync.Mutex
	last    int
	answers map[int]chan message
	errors  []string // what the browser had to complain of
}

// message is one of the protocol's.
type message struct {
	ID        int             `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// browserTimeout is how long a browser may take, on a machine that does other things too.
const browserTimeout = 30 * time.Second

// startBrowser starts Chromium, and opens a tab.
func startBrowser(t *testing.T, flags ...string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("the page is not tried: chromium is missing, which Debian's package of that name has")
	}
	b := &browser{t: t, answers: make(map[int]chan message)}
	profile, err := os.MkdirTemp("", "browser")
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-breakpad", "--disable-component-update", "--disable-extensions", "--remote-debugging-pipe", "--user-data-dir=" + profile,
	}, flags...)
	cmd := exec.Command(path, append(args, "about:blank")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	toBrowser, in, err1 := os.Pipe()
	out, fromBrowser, err2 := os.Pipe()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser} // it reads from 3, and writes to 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toBrowser.Close()
	fromBrowser.Close()
	b.in = in
	t.Cleanup(func() {
		_, _ = b.call("", "Browser.close", nil)
		in.Close()
		slow := time.AfterFunc(browserTimeout, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		slow.Stop()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // those of its processes that are left
		out.Close()
		removeProfile(t, profile)
	})
	go b.read(out)
	var target struct{ TargetID string }
	b.must("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.must("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.do(domain+".enable", nil)
	}
	return b
}

// removeProfile removes what the browser has written. Its last process may just be ending.
func removeProfile(t *testing.T, path string) {
	t.Helper()
	err := os.RemoveAll(path)
	for deadline := time.Now().Add(5 * time.Second); err != nil && time.Now().Before(deadline); err = os.RemoveAll(path) {
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Error(err)
	}
}

// read hands out answers, and keeps what the browser complains of.
func (b *browser) read(out io.Reader) {
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(line[:len(line)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if answer := b.answers[m.ID]; answer != nil {
			answer <- m
		}
		if m.Method == "Log.entryAdded" || m.Method == "Runtime.exceptionThrown" {
			b.errors = append(b.errors, string(line[:len(line)-1]))
		}
		b.mu.Unlock()
	}
}

// complaints returns what the browser has complained of since the last call.
func (b *browser) complaints() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := strings.Join(b.errors, "\n")
	b.errors = nil
	return all
}

func (b *browser) call(session, method string, params any) (json.RawMessage, error) {
	answer := make(chan message, 1)
	b.mu.Lock()
	b.last++
	id := b.last
	b.answers[id] = answer
	b.mu.Unlock()
	text, err := json.Marshal(message{ID: id, Method: method, SessionID: session, Params: params})
	if err != nil {
		return nil, err
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		return nil, err
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			return nil, fmt.Errorf("%s: %s", method, m.Error.Message)
		}
		return m.Result, nil
	case <-time.After(browserTimeout):
		return nil, fmt.Errorf("%s: no answer", method)
	}
}

func (b *browser) must(session, method string, params, result any) {
	b.t.Helper()
	answer, err := b.call(session, method, params)
	if err == nil && result != nil {
		err = json.Unmarshal(answer, result)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// do makes the tab do something.
func (b *browser) do(method string, params any) {
	b.t.Helper()
	b.must(b.session, method, params, nil)
}

// eval returns what an expression of JavaScript has as its value.
func (b *browser) eval(expression string, result any) {
	b.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.must(b.session, "Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &answer)
	if answer.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, answer.ExceptionDetails)
	}
	if result != nil {
		if err := json.Unmarshal(answer.Result.Value, result); err != nil {
			b.t.Fatalf("%s: %v", expression, err)
		}
	}
}

// open loads a page whole.
func (b *browser) open(url string) {
	b.t.Helper()
	b.do("Page.navigate", map[string]any{"url": url})
	b.until("document.readyState === 'complete' && location.href === " + quoteJS(url))
}

// until waits until an expression is true. The browser looks again at each change of the page.
func (b *browser) until(condition string) {
	b.t.Helper()
	for deadline := time.Now().Add(browserTimeout); ; time.Sleep(20 * time.Millisecond) {
		var found bool
		b.eval("!!("+condition+")", &found)
		if found {
			return
		}
		if time.Now().After(deadline) {
			var text string
			b.eval("document.body.innerText", &text)
			b.t.Fatalf("never true: %s\n%s\n%s", condition, text, b.complaints())
		}
	}
}

// shows waits until the page shows a text.
func (b *browser) shows(text string) {
	b.t.Helper()
	b.until("document.body.innerText.includes(" + quoteJS(text) + ")")
}

func quoteJS(text string) string {
	quoted, _ := json.Marshal(text) // a string can be encoded
	return string(quoted)
}
