package integration

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// startChromium starts Debian's Chromium without a window, and gives a tab that ends with the test.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("these tests need Chromium; run: make deps (%v)", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.IgnoreCertErrors, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	tab, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		closeTab()
		stop()
	})
	if err := chromedp.Do(tab); err != nil { // the first call starts it, and must have no deadline
		t.Fatal(err)
	}
	tab, cancel := context.WithTimeout(tab, 2*time.Minute)
	t.Cleanup(cancel)
	return tab
}

// drive does steps in a tab.
func drive(t *testing.T, tab context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(tab, steps...); err != nil {
		t.Fatal(err)
	}
}

// see does one step that gives a value.
func see[T any](t *testing.T, tab context.Context, step chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(tab, step)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const (
	chromeVersion   = "148"
	chromeUserAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/" + chromeVersion + ".0.0.0 Safari/537.36"
)

// asWithWindow makes a tab say that it is of a browser with a window.
func asWithWindow(t *testing.T, tab context.Context) {
	t.Helper()
	_, err := chromedp.Call(tab, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{
		UserAgent: chromeUserAgent, AcceptLanguage: "en", Platform: "Linux", UserAgentMetadata: &emulation.UserAgentMetadata{
			Brands:   []*emulation.UserAgentBrandVersion{{Brand: "Chromium", Version: chromeVersion}, {Brand: "Not/A)Brand", Version: "99"}},
			Platform: "Linux", PlatformVersion: "6.1", Architecture: "x86", Bitness: "64",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}
