// What a developer writes with the generated types: sign-in, last month's statement, and an error told apart by its code.
import type { components, operations, paths } from "./api";

type Statement = components["schemas"]["BenefitStatementLinePage"];
type Period = NonNullable<operations["get_benefit_statement"]["parameters"]["query"]>;
type Problem = components["schemas"]["Problem"];
const statement: keyof paths = "/benefits/accounts/{account}/statement";

const [base, token, account] = process.argv.slice(2);

async function get<T>(path: string, query: Record<string, string>): Promise<T | Problem> {
  const answer = await fetch(`${base}${path}?${new URLSearchParams(query)}`, {
    headers: { Authorization: `Bearer ${token}` },
  });
  return (await answer.json()) as T | Problem;
}

async function main(): Promise<void> {
  const period: Period = { from: "2020-01-01", to: "2099-12-31", limit: 5 };
  const query = { from: String(period.from), to: String(period.to), limit: String(period.limit) };
  const page = await get<Statement>(statement.replace("{account}", account), query);
  if ("code" in page) throw new Error(page.detail);
  for (const line of page.items) console.log(`${line.category} ${line.amount.toFixed(0)} ${line.posted_at}`);
  const refused = await get<Statement>(statement.replace("{account}", account), { form: "2020-01-01" });
  if (!("code" in refused)) throw new Error("a mistyped filter showed everything");
  console.log(`${refused.code} ${(refused.errors ?? [])[0].field}`);
}

void main();
