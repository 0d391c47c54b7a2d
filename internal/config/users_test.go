package config

import (
	"slices"
	"strings"
	"testing"
)

// A user is a name or a number. Each is there once, and what is no user is a problem of its own.
func TestAllowedUsers(t *testing.T) {
	for text, want := range map[string][]uint32{
		"":                                       nil,
		"allow_users = []":                       nil,
		`allow_users = [1000, "993", "root", 0]`: {0, 993, 1000},
		`allow_users = [4294967294]`:             {4294967294},
	} {
		c, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if ids, err := c.AllowedUserIDs(); err != nil || !slices.Equal(ids, want) {
			t.Errorf("%s: %v, %v, want %v", text, ids, err, want)
		}
	}
	for text, want := range map[string]string{
		`allow_users = [-1]`:         "allow_users -1: must be from 0",
		`allow_users = [4294967295]`: "allow_users 4294967295: must be from 0",
		`allow_users = [""]`:         `allow_users "": must be a user's name or number`,
		`allow_users = [true]`:       "allow_users true: must be a user's name or number",
		`allow_users = [["root"]]`:   "allow_users [root]: must be a user's name or number",
		`allow_users = "root"`:       `write it as in allow_users = ["nobody", 1000]`,
	} {
		if _, err := ParseSettings(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// A user may be removed later. The check says so, and an agent starts and allows the others.
func TestAllowedUserWhoIsGone(t *testing.T) {
	const text = `allow_users = ["no such user", 1000]`
	c, err := ParseSettings(text)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := c.AllowedUserIDs()
	if !slices.Equal(ids, []uint32{1000}) || err == nil || !strings.Contains(err.Error(),
		`allow_users "no such user": this host's /etc/passwd has no such user`) {
		t.Errorf("%v, %v", ids, err)
	}
	problems, err := Files{Path: writeConfig(t, "port = 7947\n"+text), Required: true}.Check()
	if err != nil || len(problems) != 1 || problems[0].Line != 2 || problems[0].Key != "allow_users" {
		t.Errorf("%+v, %v", problems, err)
	}
}
