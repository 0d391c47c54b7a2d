// Package packagetest installs, upgrades and removes the Debian package on hosts on which systemd
// runs.
package packagetest
