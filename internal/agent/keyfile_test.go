package agent

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"vxlan-driver/internal/agentapi"
)

// fakeKeyFile is a key file with or without a problem.
type fakeKeyFile struct {
	problem error
	checked int

	mu  sync.Mutex
	ids []string // nil: two
}

func (f *fakeKeyFile) setIDs(ids ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids = ids
}

func (f *fakeKeyFile) Follow(context.Context) {}

func (f *fakeKeyFile) Check() error {
	f.checked++
	return f.problem
}

func (f *fakeKeyFile) IDs() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ids == nil {
		return []string{"1a2b3c4d", "5e6f7a8b"}
	}
	return f.ids
}

func (f *fakeKeyFile) Status() (keys, problem string) {
	if f.problem != nil {
		problem = f.problem.Error()
	}
	return "1a2b3c4d encrypts", problem
}

// Whoever removes the key from the configuration may have removed its file already. The agent then
// starts anew without it.
func TestReloadWithoutTheKeyFromBefore(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.KeyFile = &fakeKeyFile{problem: errors.New("key file /etc/vxlan/key: is gone")}
		r.startIdle()
		r.process.change(func(s *processState) { s.configChange = agentapi.NamesNoKey })
		go r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbRestart})
		synctest.Wait()
		r.wantEnd(ErrRestart)
		if !strings.Contains(r.log.String(), agentapi.NamesNoKey) {
			t.Error(r.log)
		}
	})
}

// `vxlanctl reload` takes a key file into use without a restart of the agent, or says what is wrong
// with it. So does the status, where the agent goes on with the keys from before.
func TestKeyFileIsReloadedAndReported(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		file := new(fakeKeyFile)
		r.KeyFile = file
		r.startIdle()
		reload := func() string {
			return r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbRestart}).Error
		}
		if got := reload(); got != "" || file.checked != 1 {
			t.Errorf("reload: %q, read %d times", got, file.checked)
		}
		if got := r.status(); got.Keys != "1a2b3c4d encrypts" || len(got.Warnings) != 0 {
			t.Errorf("status: %+v", got)
		}
		const kept = "key file /etc/vxlan/key: is empty; the keys from before stay in use"
		file.problem = errors.New(kept)
		if got := reload(); got != kept {
			t.Errorf("reload: %q", got)
		}
		if got := r.status(); len(got.Warnings) != 1 || got.Warnings[0] != kept || len(got.Outdated) != 0 {
			t.Errorf("status: %+v", got)
		}
		if strings.Contains(r.log.String(), "restart") {
			t.Error(r.log)
		}
		r.finish()
	})
}
