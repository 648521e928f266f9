// Daily reports: the list of days, and below a date all of one; the same figures as in the letter.
import { html } from '../app/html.js';
import { useUser } from '../app/session.js';
import Report from './report.js';
import ReportList from './report_list.js';

export default function Reports({ parts, query }) {
  const user = useUser();
  const installation = user.operator && query.of === 'installation';
  return parts.length ? html`<${Report} key=${`${parts[0]} ${installation}`} date=${parts[0]} installation=${installation} />` : html`<${ReportList} key=${String(installation)} installation=${installation} />`;
}
