package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const helpText = `Usage: make bench ARGS="[flags]", or: go run ./bench [flags]

Measures Gatehouse against workerd, plain Coraza and plain Caddy in interleaved rounds and prints medians, ranges and
ratios. Ends with status 1 when a floor is missed or an answer is wrong.

Examples:
  make bench                                        every scenario, about 12 minutes
  make bench ARGS="--only counter,hello --rounds 3" two of them, in a hurry
  make bench ARGS="--json" > bench.json             every round's figures, for a program
  make bench ARGS="--list"                          the scenarios and what each does

Flags:
`

// options are what the command line asks for.
type options struct {
	rounds  int
	length  time.Duration
	warmUp  time.Duration
	only    []string
	sides   []string
	json    bool
	keep    bool
	scratch string
}

var errFloor = errors.New("a floor is missed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(usageError)):
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// usageError is a mistake on the command line.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

// run does what the arguments say: the report goes to out, progress to progress.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	opts, list, err := parseOptions(args, out)
	if err != nil {
		return err
	}
	if list {
		for _, s := range scenarios {
			fmt.Fprintf(out, "%-9s %s; %d connections; %s\n", s.name, s.about, s.connections, strings.Join(s.sides, ", "))
		}
		return nil
	}
	bench, err := setUp(ctx, opts, progress)
	if err != nil {
		return err
	}
	defer bench.close()

	// One thread makes the load, so that the servers have the rest of the machine.
	runtime.GOMAXPROCS(1)
	report := newReport(ctx, bench)
	for _, s := range bench.chosen() {
		results, err := bench.measure(ctx, s)
		if err != nil {
			return fmt.Errorf("scenario %s: %w", s.name, err)
		}
		report.add(s, results)
	}
	if opts.json {
		err = report.writeJSON(out)
	} else {
		err = report.writeText(out)
	}
	if err == nil && !report.held() {
		err = errFloor
	}
	return err
}

// parseOptions reads the command line. list is set when only the list of scenarios is asked for.
func parseOptions(args []string, out io.Writer) (opts options, list bool, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var seconds, warmUp float64
	var only, sides string
	flags.IntVar(&opts.rounds, "rounds", 5, "how often every side of a scenario has its turn")
	flags.Float64Var(&seconds, "seconds", 4, "how long a turn lasts")
	flags.Float64Var(&warmUp, "warm-up", 1, "seconds of load before a turn that are not counted")
	flags.StringVar(&only, "only", "", "scenarios to run, separated by commas (default all)")
	flags.StringVar(&sides, "sides", "", "sides to run, separated by commas: "+strings.Join(sideNames(), ", ")+" (default all)")
	flags.BoolVar(&opts.json, "json", false, "print JSON with every round's figures")
	flags.BoolVar(&opts.keep, "keep", false, "keep the servers' logs and stores")
	flags.StringVar(&opts.scratch, "dir", "", "directory for logs and stores; all sides' lie on its disk (default .build/bench)")
	flags.BoolVar(&list, "list", false, "list the scenarios and end")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(out, helpText)
			flags.SetOutput(out)
			flags.PrintDefaults()
			return opts, false, err
		}
		return opts, false, usageError{err.Error() + "; --help lists the flags"}
	}
	opts.length = time.Duration(seconds * float64(time.Second))
	opts.warmUp = time.Duration(warmUp * float64(time.Second))
	switch {
	case flags.NArg() > 0:
		return opts, false, usageError{fmt.Sprintf("unexpected argument %q; --help lists the flags", flags.Arg(0))}
	case opts.rounds < 1 || opts.rounds > 1000:
		return opts, false, usageError{"--rounds must be 1 to 1000"}
	case opts.length < 100*time.Millisecond || opts.length > time.Hour:
		return opts, false, usageError{"--seconds must be 0.1 to 3600"}
	case opts.warmUp < 0 || opts.warmUp > time.Hour:
		return opts, false, usageError{"--warm-up must be 0 to 3600"}
	}
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	if opts.only, err = choose("scenario", only, names); err != nil {
		return opts, false, err
	}
	opts.sides, err = choose("side", sides, sideNames())
	return opts, list, err
}

// choose splits a list of names by its commas; an empty one means all.
func choose(what, list string, all []string) ([]string, error) {
	if list == "" {
		return all, nil
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(all, name) {
			return nil, usageError{fmt.Sprintf("no %s is called %q; there are %s", what, name, strings.Join(all, ", "))}
		}
	}
	return names, nil
}
