package ctl

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

type fakeHost struct{ err error }

func (h fakeHost) Reload() (int, error) { return 2, h.err }

func TestReload(t *testing.T) {
	tests := []struct {
		name string
		args []string
		err  error
		want string
		fail string
	}{
		{"works", []string{"reload"}, nil, "reloaded 2 networks\n", ""},
		{"fails", []string{"reload"}, errors.New("boom"), "", "reload: boom"},
		{"arguments", []string{"reload", "x"}, nil, "", `unknown command "x"`},
		{"typo", []string{"relaod"}, nil, "", "Did you mean this?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			c := Command(fakeHost{tt.err}, "1", &out)
			c.SetArgs(tt.args)
			err := c.Execute()
			if out.String() != tt.want {
				t.Errorf("printed %q", out.String())
			}
			if (err == nil) != (tt.fail == "") || err != nil && !strings.Contains(err.Error(), tt.fail) {
				t.Errorf("got %v, want %s", err, tt.fail)
			}
		})
	}
}
