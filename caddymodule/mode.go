package caddymodule

import (
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// The modes of a stage that judges requests: enforce, the default, or shadow, in which it decides and writes down what it
// would have refused (Decided.Shadow of the record) and refuses nothing.
const (
	modeEnforce = "enforce"
	modeShadow  = "shadow"
)

// modeArg reads the option mode of a directive.
func modeArg(d *caddyfile.Dispenser) (string, error) {
	mode, err := oneArg(d)
	if err != nil {
		return "", err
	}
	if err := checkMode(mode); err != nil {
		return "", d.WrapErr(err)
	}
	return mode, nil
}

func checkMode(mode string) error {
	switch mode {
	case "", modeEnforce, modeShadow:
		return nil
	}
	return fmt.Errorf("mode %s: it is %s or %s", mode, modeEnforce, modeShadow)
}
