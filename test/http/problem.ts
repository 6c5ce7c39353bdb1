import assert from 'node:assert/strict';

export type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  errors?: { path: string; message: string }[];
};

/** Holds that the answer is a problem (RFC 9457) of this status and code, with all its fields; answers it. */
export async function expectProblem(response: Response, status: number, code: string): Promise<Problem> {
  const text = await response.text();
  assert.equal(response.status, status, text.slice(0, 500));
  assert.equal(response.headers.get('content-type'), 'application/problem+json');
  const problem = JSON.parse(text) as Problem;
  assert.equal(problem.code, code, text);
  assert.equal(problem.status, status);
  assert.equal(problem.type, `urn:mailgress:problem:${code}`);
  assert.ok(problem.title !== '' && problem.detail !== '', text);
  return problem;
}

/** The paths of `errors`, in their order. */
export const faultPaths = (problem: Problem) => (problem.errors ?? []).map(({ path }) => path);
