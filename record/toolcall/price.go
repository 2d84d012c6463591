package toolcall

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/gatehouse-edge/gatehouse/record"
)

// Price is what a model costs, in US dollars for 1,000,000 tokens.
type Price struct {
	Input float64 `json:"input"`
	// CachedInput is the price of input from the provider's cache; nil: that of any other input.
	CachedInput *float64 `json:"cached_input,omitempty"`
	Output      float64  `json:"output"`
}

// Prices are the prices of models by the beginnings of their names; the longest that fits counts.
type Prices map[string]Price

// ReadPrices reads a price table: a JSON object of names and prices.
func ReadPrices(path string) (Prices, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("prices: %w", err)
	}
	var p Prices
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf(`prices: %s: %w; write it as {"gpt-x": {"input": 2.5, "cached_input": 1.25, "output": 10}}, in US dollars for 1,000,000 tokens`, path, err)
	}
	for name, c := range p {
		if name == "" || c.Input < 0 || c.Output < 0 || c.CachedInput != nil && *c.CachedInput < 0 {
			return nil, fmt.Errorf("prices: %s: %q: a name must not be empty, and no price negative", path, name)
		}
	}
	return p, nil
}

// Cost is what an answer cost; 0 for a model that the table does not know.
func (p Prices) Cost(m record.Model) float64 {
	best, at := -1, Price{}
	for name, c := range p {
		if len(name) > best && strings.HasPrefix(m.Model, name) {
			best, at = len(name), c
		}
	}
	if best < 0 {
		return 0
	}
	cached := at.Input
	if at.CachedInput != nil {
		cached = *at.CachedInput
	}
	return (float64(m.InputTokens-m.CachedTokens)*at.Input + float64(m.CachedTokens)*cached + float64(m.OutputTokens)*at.Output) / 1e6
}
