// Reads an order of about 1 KB, works its totals out and answers with a document of about the same size.
export default {
  async fetch(request) {
    const order = await request.json();
    let total = 0;
    const lines = order.items.map((item) => {
      const cost = item.qty * item.cents;
      total += cost;
      return { id: item.id, label: item.name.toUpperCase(), cost, tags: item.tags };
    });
    return Response.json({ customer: order.customer, total, lines });
  },
};
